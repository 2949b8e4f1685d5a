/**
 * Who may do what at the registry door: every route names its permission; API roles have a table of them, role documents
 * their http rules.
 */
import type { RoleDocument } from '#common/contract/directory.ts';
import { bindRule, grantsRequest } from '#common/contract/role-match.ts';
import type { Caller } from '../authority/api-tokens.ts';

/** `open` needs no caller; `token` brings a credential of its own: an enrollment token, a certificate. */
export type Permission = 'open' | 'token' | 'read' | 'enroll' | 'command' | 'operate' | 'administer' | 'join';

const grants: Record<Caller['role'], readonly Permission[]> = {
  viewer: ['read'],
  enroller: ['read', 'enroll'],
  operator: ['read', 'enroll', 'command', 'operate'],
  admin: ['read', 'enroll', 'command', 'operate', 'administer', 'join'],
  gateway: ['join'],
  // By its rules, path by path: see mayCall.
  document: [],
};

export const isGranted = (role: Caller['role'], permission: Permission): boolean =>
  grants[role].includes(permission);

/**
 * What a document can grant at most. It is written with the permission `operate`, so that it cannot hold more than that:
 * neither tokens and operators, nor the part of a gateway.
 */
const ofDocuments: readonly Permission[] = ['read', 'enroll', 'command', 'operate'];
const nobody = { device: '', fleet: '', attributes: {} };
const reading = ['GET', 'HEAD'] as const;

/** `target`: as it came over the wire, with or without a query. A rule that names no methods grants reading. */
export function mayCall(
  document: RoleDocument | undefined,
  permission: Permission,
  method: string,
  target: string,
): boolean {
  const levels = levelsOf(target);
  if (!document || !levels || !ofDocuments.includes(permission)) return false;
  return document.rules.some((rule) => {
    const bound =
      rule.allow === 'http' ? bindRule({ ...rule, methods: rule.methods ?? reading }, nobody) : null;
    return bound !== null && grantsRequest(bound, levels, method);
  });
}

/** The path level by level, decoded as the router does; null when a level could be taken for more than one. */
function levelsOf(target: string): string[] | null {
  try {
    const levels = target.split(/[?#]/, 1)[0]!.split('/').map(decodeURIComponent);
    return levels.some((level) => /[/\\\0]/.test(level) || level === '.' || level === '..') ? null : levels;
  } catch {
    return null;
  }
}
