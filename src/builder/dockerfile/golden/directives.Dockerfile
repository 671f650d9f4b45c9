# syntax=docker/dockerfile:1.7-labs
#escape=`
# check = skip=all;error=true
# Escape=\
FROM busybox
RUN dir `
  c:\\
COPY a\b c:\\
