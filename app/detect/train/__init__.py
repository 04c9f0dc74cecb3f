"""Training of the detector that comes with the program: from nothing on composed pictures (`photos` to `loop`), then
on real frames that others' detectors have marked (`committee` to `adapt`).

===============  ==================================================================================================
`photos`         pictures with boxes, people cut out along their masks, person-free pictures; rendered scenes
`compose`        the data recipe: one training picture from many, with exact boxes
`degrade`        what a cheap camera does to a picture
`pictures`       the composed pictures on disk, where Ultralytics' trainer reads them
`network.yaml`   the narrow network in Ultralytics' notation
`loop`           training with Ultralytics' trainer, resuming, and the finished weights
`committee`      what several public detectors agree on in a picture, and where they don't
`label`          data sets that a committee has marked
`frames`         pieces of real frames as training pictures
`loss`           Ultralytics' loss for labels of which some are doubtful
`adapt`          training our own weights on, on such frames
===============  ==================================================================================================
"""
