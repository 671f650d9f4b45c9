# about foo
# foo is this
ARG foo=1
# not this

FROM busybox
# one
#
# run it
RUN x # not a comment
  # indented comment
   RUN y
