/** The roles that exist from the first start. `device` is the topic table every device starts with. */
import type { RoleDocument } from './directory.ts';

const own = 'devices/${device.id}';

export const deviceRole: RoleDocument = {
  name: 'device',
  severalSessions: false,
  rules: [
    { allow: 'publish', pattern: `${own}/telemetry/#` },
    { allow: 'publish', pattern: `${own}/events/#` },
    { allow: 'publish', pattern: `${own}/commands/+/reply/+` },
    { allow: 'publish', pattern: `${own}/certificates/renew` },
    { allow: 'subscribe', pattern: `${own}/commands/#` },
    { allow: 'subscribe', pattern: `${own}/certificates/renew/accepted` },
    { allow: 'subscribe', pattern: `${own}/certificates/renew/rejected` },
    { allow: 'subscribe', pattern: `${own}/errors`, maxQos: 0 },
    { allow: 'http', pattern: '/v1/#' },
  ],
};

/** A backend that listens to the whole fleet by MQTT, with a client certificate of its own. */
export const backendRole: RoleDocument = {
  name: 'backend',
  severalSessions: true,
  rules: [
    { allow: 'subscribe', pattern: 'devices/+/telemetry/#' },
    { allow: 'subscribe', pattern: 'devices/+/events/#' },
    { allow: 'subscribe', pattern: 'devices/+/commands/+/reply/+' },
  ],
};

/** What a device may do whose certificate has run out, or is not valid yet: renew it. Not a role that can be given. */
export const renewalRole: RoleDocument = {
  name: 'renewal',
  severalSessions: false,
  rules: [
    { allow: 'publish', pattern: `${own}/certificates/renew` },
    { allow: 'subscribe', pattern: `${own}/certificates/renew/accepted` },
    { allow: 'subscribe', pattern: `${own}/certificates/renew/rejected` },
    { allow: 'subscribe', pattern: `${own}/errors`, maxQos: 0 },
    { allow: 'http', pattern: '/v1/me' },
    { allow: 'http', pattern: '/v1/renew' },
    { allow: 'http', pattern: '/.well-known/est/#' },
  ],
};

export const defaultRoles: readonly RoleDocument[] = [deviceRole, backendRole];
