/** What a role document must be like, rule by rule, so that a gateway never meets one that it cannot read. Pure. */
import { type RoleDocument, type RoleRule, roleActions } from '#common/contract/directory.ts';
import { windowsOf } from '#common/contract/message-limits.ts';
import { Fault } from '#common/fault.ts';

const variables = /^(device\.id|device\.fleet|device\.attributes\.[A-Za-z0-9_-]+)$/;

/** Faults `malformed` with the first rule that is wrong. */
export function checkRole({ rules, limits }: RoleDocument): void {
  if (limits) windowsOf(limits);
  for (const [index, rule] of rules.entries()) checkRule(rule, index);
}

function checkRule({ allow, pattern, methods, maxQos, retain }: RoleRule, index: number): void {
  const wrong = (why: string) => new Fault('malformed', `Rule ${index + 1} (${pattern}): ${why}.`);
  if (!roleActions.includes(allow)) throw wrong(`allow is one of ${roleActions.join(', ')}`);
  if (methods !== undefined && allow !== 'http') throw wrong('methods are of http rules only');
  if (methods?.length === 0) throw wrong('it names no method; leave methods out, or the rule');
  if (retain !== undefined && allow !== 'publish') throw wrong('retain is of publish rules only');
  if (maxQos !== undefined && allow === 'http') throw wrong('http has no QoS');
  if (allow === 'http' && !pattern.startsWith('/')) throw wrong('a path begins with /');
  if (pattern.includes('\0')) throw wrong('it holds NUL');
  for (const [, name] of pattern.matchAll(/\$\{([^}]*)\}/g)) {
    if (!variables.test(name ?? ''))
      throw wrong(`\${${name}} is no variable; there are device.id, device.fleet, device.attributes.NAME`);
  }
  if (/\$\{[^}]*$/.test(pattern)) throw wrong('a variable is not closed');
  const levels = pattern.split('/');
  const hash = levels.findIndex((level) => level.includes('#'));
  if (hash >= 0 && (hash !== levels.length - 1 || levels[hash] !== '#'))
    throw wrong('# stands alone, as the last level');
  if (levels.some((level) => level.includes('+') && level !== '+'))
    throw wrong('+ stands alone in its level');
}
