ARG V=1 W
arg X="a b"
FROM --platform=$BUILDPLATFORM busybox:${V} AS Build
FROM scratch as two
FROM two
FROM a b c d
FROM a ass b
FROM a as 1b
FROM --platfrom=x a
FROM
