"""Names and files -> Backbone: timm, embedded models, papers' files, checkpoints."""
