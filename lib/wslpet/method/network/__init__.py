"""The CAM network and the segmenter: inputs, maps, files of weights."""
