#!/bin/sh
# The test host's image below "$1", once its packages are there: two users, one SSH key for all, no name server, no chores.
set -eu
root=$1

# mmdebstrap brings the build machine's own; with none, a name lookup fails at once.
rm -f "$root/etc/resolv.conf" "$root/etc/hostname" "$root/etc/ssh/"ssh_host_*

chroot "$root" useradd --create-home --shell /bin/bash builder
chroot "$root" useradd --create-home --shell /bin/bash ansible
printf 'ansible ALL=(ALL) NOPASSWD: ALL\n' >"$root/etc/sudoers.d/ansible"
chmod 0440 "$root/etc/sudoers.d/ansible"

# Both keys are mounted when a host starts, so an image holds no secret and each host has an identity of its own.
cat >"$root/etc/ssh/sshd_config.d/airgap.conf" <<'END'
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys
PasswordAuthentication no
PermitRootLogin prohibit-password
UseDNS no
# A fleet run opens many sessions at once.
MaxStartups 100
MaxSessions 100
END

chroot "$root" systemctl enable ssh.service
# They need a network, and fail without one.
chroot "$root" systemctl mask apt-daily.timer apt-daily-upgrade.timer
