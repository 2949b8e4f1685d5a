/** Who may do what at the registry door: five permissions, a table of roles. Every route names its permission. */
import type { Caller } from '../authority/api-tokens.ts';

/** `open` needs no caller; `token` brings a credential of its own: an enrollment token, a certificate. */
export type Permission = 'open' | 'token' | 'read' | 'enroll' | 'operate' | 'administer' | 'join';

const grants: Record<Caller['role'], readonly Permission[]> = {
  viewer: ['read'],
  enroller: ['read', 'enroll'],
  operator: ['read', 'enroll', 'operate'],
  admin: ['read', 'enroll', 'operate', 'administer', 'join'],
  gateway: ['join'],
};

export const isGranted = (role: Caller['role'], permission: Permission): boolean =>
  grants[role].includes(permission);
