/** What a role document grants at the registry door: paths, read-only unless it says more, and never all. */
import { describe, expect, test } from 'vitest';
import type { RoleDocument, RoleRule } from '#common/contract/directory.ts';
import { isGranted, mayCall } from '../../../../registry/api/permissions.ts';

const role = (...rules: RoleRule[]): RoleDocument => ({ name: 'r', severalSessions: false, rules });
const devices = role({ allow: 'http', pattern: '/v1/devices/#' });

test('a path that a rule covers may be read, and nothing else', () => {
  expect(mayCall(devices, 'read', 'GET', '/v1/devices')).toBe(true);
  expect(mayCall(devices, 'read', 'HEAD', '/v1/devices/pump-1?x=1')).toBe(true);
  expect(mayCall(devices, 'read', 'GET', '/v1/fleets')).toBe(false);
  expect(mayCall(devices, 'operate', 'POST', '/v1/devices/pump-1/revoke')).toBe(false);
});

test('with methods it may do those, and only those', () => {
  const acting = role({ allow: 'http', pattern: '/v1/devices/+/disable', methods: ['POST'] });
  expect(mayCall(acting, 'operate', 'POST', '/v1/devices/pump-1/disable')).toBe(true);
  expect(mayCall(acting, 'operate', 'POST', '/v1/devices/pump-1/revoke')).toBe(false);
  expect(mayCall(acting, 'read', 'GET', '/v1/devices/pump-1/disable')).toBe(false);
});

test('tokens, operators and the part of a gateway are beyond every document', () => {
  const all = role({ allow: 'http', pattern: '/#', methods: ['GET', 'POST', 'DELETE'] });
  expect(mayCall(all, 'operate', 'POST', '/v1/fleets')).toBe(true);
  expect(mayCall(all, 'administer', 'POST', '/v1/operators')).toBe(false);
  expect(mayCall(all, 'join', 'GET', '/v1/changes')).toBe(false);
});

test('commands are for operators, and for documents that grant their path', () => {
  expect(isGranted('operator', 'command')).toBe(true);
  expect(isGranted('enroller', 'command')).toBe(false);
  const sending = role({ allow: 'http', pattern: '/v1/devices/+/commands', methods: ['POST'] });
  expect(mayCall(sending, 'command', 'POST', '/v1/devices/pump-1/commands')).toBe(true);
  expect(mayCall(sending, 'operate', 'POST', '/v1/devices/pump-1/disable')).toBe(false);
  expect(mayCall(devices, 'command', 'POST', '/v1/devices/pump-1/commands')).toBe(false);
});

describe('what fails is closed', () => {
  test('no document, no rule, rules of other actions, a variable that nobody has', () => {
    for (const none of [
      undefined,
      role(),
      role({ allow: 'publish', pattern: '/v1/#' }),
      role({ allow: 'http', pattern: '/v1/devices/${device.id}' }),
      role({ allow: 'http', pattern: '/v1/${device.attributes.what}/#' }),
    ])
      expect(mayCall(none, 'read', 'GET', '/v1/devices/pump-1')).toBe(false);
  });

  test.each([
    '/v1/devices/%2e%2e/fleets',
    '/v1/devices/../fleets',
    '/v1/devices%2fpump-1',
    '/v1/devices/a%2F..%2f..',
    '/v1/devices/%00',
    '/v1/devices/%zz',
    '/v1/devices/a\\b',
    '//v1/devices',
    '/v1//devices',
  ])('%s, which could be read in two ways', (target) => {
    expect(mayCall(devices, 'read', 'GET', target)).toBe(false);
  });

  test('a level is judged as the router reads it', () => {
    expect(mayCall(devices, 'read', 'GET', '/v1/d%65vices/pump%2D1')).toBe(true);
    expect(mayCall(role({ allow: 'http', pattern: '/v1/devices/a' }), 'read', 'GET', '/v1/devices/%61')).toBe(
      true,
    );
  });

  test('the word "document" alone grants no permission', () => {
    for (const permission of ['read', 'enroll', 'operate', 'administer', 'join'] as const)
      expect(isGranted('document', permission)).toBe(false);
  });
});
