"""Every layout of images on disk as one type: folders, manifests, arrays, hubs and public data sets."""
