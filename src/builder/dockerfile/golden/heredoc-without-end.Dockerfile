FROM busybox
RUN <<EOF
a
b
