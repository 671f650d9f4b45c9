FROM scratch
CMD ["/x"]