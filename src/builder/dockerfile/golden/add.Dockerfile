FROM busybox
ADD https://example.com/a.tar.gz /x/
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d --keep-git-dir=true --unpack=false --chown=a a /b
ADD git@github.com:a/b.git#main:sub /x
ADD --parents a /x
