FROM busybox
ARG a
ARG a=b c="d e" f=$a
ARG =x
ARG
