/** A role document that could be misread is refused when it is written, with the rule and why. */
import { expect, test } from 'vitest';
import type { RoleRule } from '#common/contract/directory.ts';
import { defaultRoles } from '#common/contract/role-defaults.ts';
import { checkRole } from '../../../../registry/authority/role-rules.ts';

const check = (rule: RoleRule) => checkRole({ name: 'r', severalSessions: false, rules: [rule] });

test('the roles that are there from the start are good', () => {
  for (const role of defaultRoles) expect(() => checkRole(role)).not.toThrow();
});

test.each<[RoleRule, RegExp]>([
  [{ allow: 'publish', pattern: 'a/#/b' }, /# stands alone/],
  [{ allow: 'publish', pattern: 'a#' }, /# stands alone/],
  [{ allow: 'subscribe', pattern: 'a/b+' }, /\+ stands alone/],
  [{ allow: 'publish', pattern: 'a/${device.name}' }, /is no variable/],
  [{ allow: 'publish', pattern: 'a/${device.id' }, /not closed/],
  [{ allow: 'publish', pattern: 'a/${}' }, /is no variable/],
  [{ allow: 'publish', pattern: 'a\0b' }, /NUL/],
  [{ allow: 'publish', pattern: 'a', methods: ['GET'] }, /methods/],
  [{ allow: 'http', pattern: '/v1', methods: [] }, /no method/],
  [{ allow: 'http', pattern: 'v1/#' }, /begins with/],
  [{ allow: 'http', pattern: '/v1', maxQos: 1 }, /QoS/],
  [{ allow: 'subscribe', pattern: 'a', retain: true }, /retain/],
])('%j is refused', (rule, why) => {
  expect(() => check(rule)).toThrow(why);
  expect(() => check(rule)).toThrow(/Rule 1/);
});
