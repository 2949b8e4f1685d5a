/** Roles by attributes: which assignment wins, and that nothing but an equal value matches. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { assignedRole, type RoleAssignment } from '../../../../registry/authority/role-assignment.ts';

const assignment = (role: string, match: RoleAssignment['match'], more: Partial<RoleAssignment> = {}) => ({
  id: role,
  fleet: null,
  match,
  role,
  createdMs: 1000,
  ...more,
});
const gauge = { fleet: 'plant', attributes: { kind: 'gauge', site: 'north' } };

test('every attribute must have its value, or one of its values', () => {
  expect(assignedRole([assignment('r', { kind: 'gauge' })], gauge)).toBe('r');
  expect(assignedRole([assignment('r', { kind: ['pump', 'gauge'] })], gauge)).toBe('r');
  expect(assignedRole([assignment('r', { kind: 'gauge', site: 'south' })], gauge)).toBe(null);
  expect(assignedRole([assignment('r', { kind: 'Gauge' })], gauge)).toBe(null);
  expect(assignedRole([assignment('r', { line: '7' })], gauge)).toBe(null);
  expect(assignedRole([], gauge)).toBe(null);
});

test('of one fleet, or of all', () => {
  expect(assignedRole([assignment('r', { kind: 'gauge' }, { fleet: 'plant' })], gauge)).toBe('r');
  expect(assignedRole([assignment('r', { kind: 'gauge' }, { fleet: 'yard' })], gauge)).toBe(null);
});

test('the most attributes win, then the older, then the first id; whatever their order', () => {
  const all = [
    assignment('two', { kind: 'gauge', site: 'north' }, { createdMs: 9000 }),
    assignment('older', { kind: 'gauge' }, { createdMs: 1 }),
    assignment('b', { site: 'north' }, { createdMs: 2 }),
    assignment('a', { site: 'north' }, { createdMs: 2 }),
  ];
  fc.assert(
    fc.property(fc.shuffledSubarray(all, { minLength: 1 }), (some) => {
      const order = ['two', 'older', 'a', 'b'];
      const first = order.find((role) => some.some((each) => each.role === role));
      expect(assignedRole(some, gauge)).toBe(first);
    }),
  );
});

test('what an object has by itself is no attribute', () => {
  const sly = assignment('r', { constructor: 'x', toString: 'y' });
  expect(assignedRole([sly], { fleet: 'plant', attributes: {} })).toBe(null);
});
