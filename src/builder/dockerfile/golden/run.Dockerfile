FROM busybox
RUN echo "a  b"   $x
RUN ["echo", "a b", "\u0041"]
RUN ["not json
RUN [ "a" ] trailing
RUN ["a", 1]
RUN --network=none --security=insecure --device=vendor.com/x=all make
RUN --network=nome x
RUN --security=lax x
RUN --mount=type=bind,src=a,dst=/b,rw --mount=type=cache,id=c,target=/c,sharing=locked,uid=1,gid=2,mode=0755 x
RUN --mount=type=tmpfs,target=/t,size=1g --mount=type=ssh,required x
RUN --mount=type=secret,id=s,env=TOKEN --mount=type=secret,id=t,target=/t,required=true,mode=0400 x
RUN --mount=type=$T,target=/x x
RUN --mount=from=$x,target=/x x
RUN --mount=type=cash,target=/x x
RUN --mount=type=cache,targte=/x x
RUN --mount=type=bind,mode=0755,target=/x x
RUN --mount="type=bind,\"target=/a,b\"" x
RUN --mount x
RUN
