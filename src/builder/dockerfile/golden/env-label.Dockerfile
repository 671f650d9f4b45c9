FROM busybox
ENV a=b c="d e" f='g h' i=j\ k l= m=""
ENV legacy   value with "quotes" and spaces  
ENV a=b c
ENV =x
ENV a
ENV
ENV "quoted key"=v
LABEL a=b "com.example.x"="y z" \
  multi="line"
LABEL old style
LABEL a=b \
# comment
  c=d
