/** A role by attributes: devices that match act in it, unless they have one of their own. Pure. */
import type { Tables } from '../store/tables.ts';

/** By attribute: the value that it must have, or one of several. */
export type AttributeMatch = Readonly<Record<string, string | readonly string[]>>;

export interface RoleAssignment {
  readonly id: string;
  /** Null for the devices of every fleet. */
  readonly fleet: string | null;
  readonly match: AttributeMatch;
  readonly role: string;
  readonly createdMs: number;
}

export const assignmentOf = (row: Tables['role_assignments']): RoleAssignment => ({
  id: row.id,
  fleet: row.fleet,
  match: JSON.parse(row.match),
  role: row.role,
  createdMs: row.created_ms,
});

export interface Assignee {
  readonly fleet: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/**
 * The role that assignments give a device, null for none. Of several that match, the one that asks for most attributes
 * wins; then the older, then the one whose id comes first.
 */
export function assignedRole(assignments: readonly RoleAssignment[], device: Assignee): string | null {
  let best: RoleAssignment | null = null;
  for (const assignment of assignments)
    if (isMatch(assignment, device) && (best === null || goesBefore(assignment, best))) best = assignment;
  return best?.role ?? null;
}

function isMatch({ fleet, match }: RoleAssignment, device: Assignee): boolean {
  if (fleet !== null && fleet !== device.fleet) return false;
  return Object.entries(match).every(([name, wanted]) => {
    const value = Object.hasOwn(device.attributes, name) ? device.attributes[name] : undefined;
    return value !== undefined && (typeof wanted === 'string' ? wanted === value : wanted.includes(value));
  });
}

function goesBefore(one: RoleAssignment, other: RoleAssignment): boolean {
  const more = Object.keys(one.match).length - Object.keys(other.match).length;
  if (more !== 0) return more > 0;
  const older = other.createdMs - one.createdMs;
  return older === 0 ? one.id < other.id : older > 0;
}
