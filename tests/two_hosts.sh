#!/bin/sh
# Two ranks on two hosts, which are network namespaces of this machine, and faults of the network between
# them. By hand, since it needs root: tests/ranks.rs has what needs none.
#
#   cargo build --release --features mpi
#   sudo tests/two_hosts.sh target/release/moodshader      (Open MPI, iproute2; some minutes without a GPU)
set -eu
program=$(realpath "$1")
folder=$(mktemp -d)
cd "$folder"
export MOODSHADER_CACHE="$folder/cache" MOODSHADER_RANK_TIMEOUT=6 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

leave() {
    pkill -f "$program train" || true
    ip netns del mood-one || true
    ip netns del mood-two || true
    rm -rf "$folder"
}
trap leave EXIT

network() {
    ip netns del mood-one 2>/dev/null || true
    ip netns del mood-two 2>/dev/null || true
    ip netns add mood-one
    ip netns add mood-two
    ip link add mood-v1 netns mood-one type veth peer name mood-v2 netns mood-two
    ip -n mood-one address add 10.9.0.1/24 dev mood-v1
    ip -n mood-two address add 10.9.0.2/24 dev mood-v2
    for host in one two; do
        ip -n mood-$host link set lo up
        # A connection is given up after some seconds instead of a quarter of an hour.
        ip netns exec mood-$host sysctl -qw net.ipv4.tcp_retries2=5
    done
    cable up
}

cable() {
    ip -n mood-one link set mood-v1 "$1"
    ip -n mood-two link set mood-v2 "$1"
}

# What mpirun takes for ssh.
cat > agent <<'AGENT'
#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
case $1 in 10.9.0.1) host=one ;; *) host=two ;; esac
shift
exec ip netns exec mood-$host unshare --uts sh -c "hostname $host; $*"
AGENT
chmod +x agent
printf '10.9.0.1 slots=1\n10.9.0.2 slots=1\n' > hosts

# trains FOLDER EPOCHS: on both hosts; what they say is in FOLDER.out.
trains() {
    ip netns exec mood-one unshare --uts sh -c "hostname one; timeout 300 mpirun \
        --mca plm_rsh_agent $folder/agent --hostfile hosts --map-by node --bind-to none \
        --mca btl_tcp_if_include 10.9.0.0/24 --mca oob_tcp_if_include 10.9.0.0/24 \
        -x MOODSHADER_CACHE -x MOODSHADER_RANK_TIMEOUT -n 2 \
        $program train --preset demo --epochs $2 --out $1" > "$1.out" 2>&1
}

# begun FOLDER: waits until updates are made there.
begun() {
    for _ in $(seq 600); do
        if [ -e "$1/last.safetensors" ]; then sleep 2; return; fi
        sleep 0.2
    done
    fails "$1"
}

# gone: waits until no rank is left, on either host.
gone() {
    for _ in $(seq 60); do
        pgrep -f "^$program train" > /dev/null || return 0
        sleep 0.5
    done
    return 1
}

fails() {
    echo "FAILED: $1" >&2
    cat "$1.out" >&2
    exit 1
}

mpirun --oversubscribe --bind-to none -n 2 "$program" train --preset demo --epochs 2 --out alone > alone.out 2>&1
network
trains two 2 || fails two
cmp alone/last.safetensors two/last.safetensors
echo "two hosts leave the same bytes as one"

trains outage 2 &
begun outage
cable down
sleep 3
cable up
wait $! || fails outage
cmp alone/last.safetensors outage/last.safetensors
echo "an outage of 3 s changes nothing"

trains cut 1000 &
begun cut
cable down
gone || fails cut
wait $! && fails cut
grep -q "waited 6 s for the other ranks" cut.out || fails cut
[ -e cut/last.safetensors ] || fails cut
echo "without the network, all ranks end in time and say why"

network
trains killed 1000 &
begun killed
pkill -9 -n -f "^$program train"
gone || fails killed
wait $! && fails killed
echo "a rank that is killed on one host ends that of the other"
