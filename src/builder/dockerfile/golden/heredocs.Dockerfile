FROM busybox
RUN <<EOF
#!/bin/sh
echo $HOME
  EOF
EOF
RUN <<-EOF
	echo a
		echo b
	EOF
RUN python3 <<'PY' && cat <<"END" 3<<X
print("hi")
PY
two
END
three
X
RUN echo "<<EOF" && echo '<<EOF' \<<EOF
RUN ["echo", "<<EOF"]
COPY <<a.txt <<'b.txt' c.txt /d/
a $x
a.txt
b $x
b.txt
ADD <<EOF /x
EOF
ONBUILD RUN <<EOF
later
EOF
ENV x=<<EOF
