module example.com/spool

go 1.26.0

require github.com/sluice-bridge/sluice v0.0.0

replace github.com/sluice-bridge/sluice => ../../..
