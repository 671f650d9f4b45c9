FROM busybox
CMD ["a", "b"]
CMD a b
CMD []
CMD
ENTRYPOINT ["a"]
ENTRYPOINT a  b
ENTRYPOINT []
SHELL ["/bin/bash", "-c"]
SHELL /bin/bash -c
SHELL []
SHELL
CMD --flag=x a
