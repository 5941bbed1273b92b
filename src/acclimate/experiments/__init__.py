"""Many runs, one answer: ranking, adaptation, label-efficiency curves, explanations and studies."""
