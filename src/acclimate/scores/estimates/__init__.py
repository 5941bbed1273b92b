"""Training-free estimates of transferability: one number from the features of the training images."""
