FROM busybox
\
RUN x
\
