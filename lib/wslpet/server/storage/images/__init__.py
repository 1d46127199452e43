"""Image files of the studies folder: names, the list of images and labels, uploads, changes of folders."""
