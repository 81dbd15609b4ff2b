# Everything a person or the CI types. Each target works from a fresh clone on a
# fresh Debian 12 with Rust and make: what is missing is fetched.

ARGS ?=
# Four at a time: container tests wait more than they compute.
TEST_THREADS ?= 4

.PHONY: help build run stop test check unit compat compat-dockerd soak bench interop fuzz

help:
	@echo "make run             build, start the daemon, register the docker context lighter"
	@echo "make stop            stop that daemon (containers keep running)"
	@echo "make test            formatting, lints, all tests, compatibility tests (needs root)"
	@echo "make compat          the compatibility tests alone"
	@echo "make compat-dockerd  the same tests against a real dockerd"
	@echo "make soak            ten minutes of faults under load (LIGHTER_SOAK_SECONDS)"
	@echo "make interop         images to and from dockerd, Podman, buildah and buildx (some minutes)"
	@echo "make fuzz            a minute for each fuzz target (needs a nightly compiler)"
	@echo "make bench           compare with dockerd and Podman; prints a table"

build:
	@scripts/build.sh

run:
	@scripts/run.sh $(ARGS)

stop:
	@scripts/run.sh --stop

test: check unit compat

check:
	@scripts/test.sh check

unit:
	@scripts/test.sh unit

compat:
	@TEST_THREADS=$(TEST_THREADS) scripts/test.sh compat $(ARGS)

compat-dockerd:
	@TEST_THREADS=$(TEST_THREADS) scripts/test.sh compat-dockerd $(ARGS)

soak:
	@LIGHTER_SOAK_SECONDS=$${LIGHTER_SOAK_SECONDS:-600} LIGHTER_SOAK_CROWD=$${LIGHTER_SOAK_CROWD:-200} scripts/test.sh compat nothing_is_lost a_crowd_comes_and_goes --nocapture

interop:
	@scripts/interop.sh

fuzz:
	@scripts/fuzz.sh $(ARGS)

bench:
	@benches/run.sh $(ARGS)
