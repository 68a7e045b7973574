# A machine within this one: systemd as process 1 of new namespaces, which runs the protocol.
# machine.sh DIR ROOT: DIR holds the program, nats-server and protocol.sh, and takes out/; ROOT is the tree.
#
# This machine's own files are out of reach: /etc, /usr, /var and the tree are overlays whose upper side is memory, /tmp and
# /run are memory, and what is left is read-only. systemd's services of the boot, which clean /tmp and set kernel
# parameters, are not started: their wants are removed, from the overlay.
set -e
dir=$1 root=$2
mount --make-rprivate /
mkdir -p "$dir/out"
mount -t tmpfs tmpfs /mnt
mkdir -p /mnt/box /mnt/tree
mount --bind "$dir" /mnt/box
mkdir -p /mnt/over/tree /mnt/over/tree-work
mount -t overlay overlay -o "lowerdir=$root,upperdir=/mnt/over/tree,workdir=/mnt/over/tree-work" /mnt/tree
cp /mnt/box/rollcall /mnt/tree/rollcall
for at in etc usr var; do
  mkdir -p /mnt/over/$at /mnt/over/$at-work
  mount -t overlay overlay -o "lowerdir=/$at,upperdir=/mnt/over/$at,workdir=/mnt/over/$at-work" /$at
done
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -o remount,bind,ro /
for at in /etc /usr /var /tmp /run; do mountpoint -q $at; done
rm -rf /etc/systemd/system/* /usr/lib/systemd/system/*.wants
mkdir -p /run/systemd/system /run/lock
ip link set lo up
cat > /run/systemd/system/machine.target <<X
[Unit]
Description=What the protocol needs
AllowIsolate=yes
Wants=protocol.service
X
cat > /run/systemd/system/protocol.service <<X
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
TimeoutStartSec=270
WorkingDirectory=/mnt/tree
Environment=HOME=/mnt/over PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin NO_COLOR=1
ExecStart=/bin/bash -c 'bash -e /mnt/box/protocol.sh; echo \$? > /mnt/box/out/result; kill -RTMIN+14 1'
StandardOutput=file:/mnt/box/out/protocol.log
StandardError=inherit
X
printf '[Unit]\nDescription=The loopback is up\n' > /run/systemd/system/network-online.target
export container=docker
exec /lib/systemd/systemd --system --unit=machine.target --log-target=null --show-status=no </dev/null >/dev/null 2>&1
