FROM busybox
COPY a b /c/
COPY ["a b", "/c d/"]
COPY --from=0 --chown=1:2 --chmod=u=rwX,go=rX --link --parents --exclude=*.md --exclude=x ./a/./b /c
COPY --link=false a b
COPY --link=no a b
COPY --from=$x a b
COPY --form=x a b
COPY --chown=a --chown=b a b
COPY --chown a b
COPY a
COPY
COPY -- --a b
