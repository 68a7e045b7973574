# Before the protocol: three nats-servers a, b and c, each on an address of its own of the loopback, and the files with their users' passwords.
printf '127.0.0.2 a\n127.0.0.3 b\n127.0.0.4 c\n' >> /etc/hosts
{
  for u in operator ingester projector query; do
    echo "p$RANDOM$RANDOM" > "$u.password"
    echo "${u^^}_PASSWORD=$(cat "$u.password")"
  done
} > /run/nats.env
cat > /run/systemd/system/nats@.service <<'X'
[Service]
EnvironmentFile=/run/nats.env
Environment=NAME=%i LISTEN=%i:4222 ROUTE=%i:6222 DIR=/var/lib/nats-%i
Environment='ROUTES=["nats://a:6222","nats://b:6222","nats://c:6222"]'
ExecStart=/mnt/box/nats-server -c /mnt/tree/docs/examples/nats-server.conf
X
systemctl daemon-reload
systemctl start nats@a nats@b nats@c
