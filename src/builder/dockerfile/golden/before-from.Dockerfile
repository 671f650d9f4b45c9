RUN x
ARG a
FROM busybox
