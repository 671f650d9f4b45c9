FROM busybox
HEALTHCHECK NONE
HEALTHCHECK none
HEALTHCHECK --interval=1m30s --timeout=3s --start-period=5s --start-interval=500ms --retries=3 CMD curl -f http://localhost/ || exit 1
HEALTHCHECK CMD ["a", "b"]
HEALTHCHECK --interval=0s CMD x
HEALTHCHECK NONE x
HEALTHCHECK CMD
HEALTHCHECK CMD []
HEALTHCHECK FOO x
HEALTHCHECK --interval=1us CMD x
HEALTHCHECK --interval=x CMD x
HEALTHCHECK --retries=-1 CMD x
HEALTHCHECK --retries=x CMD x
HEALTHCHECK --intervall=1s CMD x
HEALTHCHECK
