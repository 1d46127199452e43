"""The method, in the order data flows. Nothing here knows MONAI Label.

volume      array and affine that never travel apart; RAS inside, as stored outside
limits      how large an image may be, and how high its SUV
header      DICOM values, read with suspicion; suv: SUVbw from PET headers; series: a PET series → Volume
rtstruct    contours drawn on a series → masks; dicom_seg: masks ↔ DICOM SEG
readers     files → Volume, or a refusal that names the file and the remedy
seeds       the supervision: a point in mm and a cancer type
settings    every choice, the paper's preset beside ours
compiled    loops over voxels as machine code; maxima: of a volume, in one pass; voxels: parts and surface of a set
projection  coronal and sagittal MIP with depth maps, on the volume's own voxels and on the network's grid
examples    a patient as the network sees one, batches; augmentation: patients changed anew for each epoch
network     eight convolutions
cam         class activation maps, and the 3D map that the two views make together
losses      loss 1: the type; loss 2: the distance to the seed
training    seeds and types in, a model out; ranks: the processes that train together; gpus: one for each GPU
model       weights with their settings, and their file; shipped: where ours are
delineation a point → the lesion: cut at the valleys that basins finds into bodies, each measured at many thresholds
lesions     CAMs and depth maps → points → lesions
measures    SUVmax, SUVpeak, SUVmean, MTV, TLG
pipeline    the whole way, scan → result; the only composer
batch       one function over many files, on all processors or on Dask
scans       what was read and looked at lately, kept in memory and on disk
pacs        Orthanc on loopback, for the demo and the tests
radiomics   features under IBSI ids, by PyRadiomics; ibsi: against IBSI's digital phantom; feature_table: of a folder
cohort      a table of scans, types, seeds, masks and outcomes; importers, importing: published data sets → that table
statistics  folds, intervals, tests; evaluation: masks against the truth, and the click + 41 % baseline
outcome     response or survival from features, nested cross-validation
study       the paper's comparison: systems behind one interface, cross-validation, tables, report
phantom     whole-body FDG PET patients with a known tumour: the embedded default data
pretraining the shipped weights; contour_fit: the contour score
pictures    MIPs with CAM, lesion and seed
cli         the same from a terminal, with welcome's text; demo: its clicks, by themselves
port        whether a server can have an address; threads: how those of OpenMP wait
"""
