FROM busybox AS b
LABEL 名前="値" e="😀 x" 
RUN écho ü x
ENV 😀=1
