/** What a change of a role takes and gives, device by device. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { RoleDocument, RoleRule } from '#common/contract/directory.ts';
import { roleDifference } from '../../../../registry/authority/role-difference.ts';

const role = (...rules: RoleRule[]): RoleDocument => ({ name: 'r', severalSessions: false, rules });
const north = { device: 'pump-1', fleet: 'plant', attributes: { site: 'north' } };
const bare = { device: 'pump-2', fleet: 'plant', attributes: {} };
const own: RoleRule = { allow: 'publish', pattern: 'devices/${device.id}/#' };
const site: RoleRule = { allow: 'subscribe', pattern: 'site/${device.attributes.site}/#' };

test('rules are told with the values of the device in them', () => {
  expect(roleDifference(role(own, site), role(own), north)).toEqual({
    lost: [{ allow: 'subscribe', pattern: 'site/north/#' }],
    gained: [],
  });
  expect(roleDifference(role(own), role(own, site), north).gained).toHaveLength(1);
});

test('a rule that never held for a device is neither lost nor gained', () => {
  expect(roleDifference(role(own, site), role(own), bare)).toEqual({ lost: [], gained: [] });
});

test('what a wider rule covers is not lost; what was narrower is gained', () => {
  const narrow: RoleRule = { allow: 'publish', pattern: 'devices/${device.id}/telemetry' };
  expect(roleDifference(role(narrow), role(own), north)).toEqual({
    lost: [],
    gained: [{ allow: 'publish', pattern: 'devices/pump-1/#' }],
  });
  const quiet: RoleRule = { ...own, maxQos: 0 };
  expect(roleDifference(role(own), role(quiet), north).lost).toHaveLength(1);
  const keeping: RoleRule = { ...own, retain: true };
  expect(roleDifference(role(keeping), role(own), north).lost).toHaveLength(1);
  const reading: RoleRule = { allow: 'http', pattern: '/v1/#', methods: ['GET'] };
  expect(roleDifference(role({ allow: 'http', pattern: '/v1/#' }), role(reading), north).lost).toHaveLength(
    1,
  );
});

test('a role that comes to be only gives, one that goes only takes', () => {
  expect(roleDifference(null, role(own), north).gained).toHaveLength(1);
  expect(roleDifference(role(own), null, north).lost).toHaveLength(1);
});

test('there and back takes what it gave', () => {
  const rules = fc.array(
    fc.constantFrom(own, site, { ...own, maxQos: 1 as const }, { ...site, maxQos: 0 as const }),
  );
  fc.assert(
    fc.property(rules, rules, (some, others) => {
      const there = roleDifference(role(...some), role(...others), north);
      const back = roleDifference(role(...others), role(...some), north);
      expect(back).toEqual({ lost: there.gained, gained: there.lost });
    }),
  );
});
