# escape=`
# escape=\
FROM x
