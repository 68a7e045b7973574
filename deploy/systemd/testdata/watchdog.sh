# After the protocol: a process that shows signs of life is left alone, one that hangs is started again.
mkdir -p /run/systemd/system/rollcall.service.d
printf '[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n' > /run/systemd/system/rollcall.service.d/short.conf
systemctl daemon-reload
systemctl start rollcall
sleep 5
[ "$(systemctl show --property=NRestarts --value rollcall)" = 0 ]
kill -STOP "$(systemctl show --property=MainPID --value rollcall)"
until [ "$(systemctl show --property=NRestarts --value rollcall)" = 1 ]; do sleep 0.2; done
until rollcall healthcheck 2>&1; do sleep 0.2; done
echo "started again by the watchdog"
