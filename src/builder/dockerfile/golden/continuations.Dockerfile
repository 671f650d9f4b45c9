FROM busybox
RUN a && \   
	b \
# comment within
   # another

   && c
RUN d\\
RUN e \
