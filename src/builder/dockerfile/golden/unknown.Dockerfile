FROM busybox
RNU x
COYP a b
FOO
run ok
