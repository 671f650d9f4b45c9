FROM busybox
FOO
COPY a
ENV
RUN ok
