/** What a device would lose and gain if its role were another: rules with its own values filled in. Pure. */
import type { RoleDocument, RoleRule } from '#common/contract/directory.ts';
import { type BoundRule, bindRule, type RoleSubject, ruleCovers } from '#common/contract/role-match.ts';

/** A rule as it is for one device: no variables are left in it. */
export interface RoleDifference {
  readonly lost: readonly RoleRule[];
  readonly gained: readonly RoleRule[];
}

interface Own {
  readonly rule: RoleRule;
  readonly bound: BoundRule;
}

/** A rule that a wider one covers is neither lost nor gained. */
export function roleDifference(
  before: RoleDocument | null,
  after: RoleDocument | null,
  subject: RoleSubject,
): RoleDifference {
  const [old, now] = [ownRules(before, subject), ownRules(after, subject)];
  return { lost: uncovered(old, now), gained: uncovered(now, old) };
}

const ownRules = (role: RoleDocument | null, subject: RoleSubject): Own[] =>
  (role?.rules ?? []).flatMap((rule) => {
    const bound = bindRule(rule, subject);
    return bound ? [{ rule: { ...rule, pattern: bound.levels.join('/') }, bound }] : [];
  });

const uncovered = (rules: readonly Own[], by: readonly Own[]): RoleRule[] =>
  rules.flatMap(({ rule, bound }) =>
    by.some((other) => other.rule.allow === rule.allow && ruleCovers(other.bound, bound)) ? [] : [rule],
  );
