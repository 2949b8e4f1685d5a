/**
 * A role document at work: a rule with its variables filled in for somebody, and whether it grants what is asked. Pure.
 * The gateway judges by it at every message, the registry when somebody asks beforehand what would be allowed.
 */
import { filterCovers, filterMatches } from '../topic-match.ts';
import type { HttpMethod, RoleRule } from './directory.ts';

/** Whose variables fill a rule. */
export interface RoleSubject {
  readonly device: string;
  readonly fleet: string;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface BoundRule {
  readonly levels: readonly string[];
  readonly maxQos: 0 | 1 | 2;
  readonly retain: boolean;
  /** Null for any. */
  readonly methods: readonly HttpMethod[] | null;
}

const variable = /\$\{([^}]*)\}/g;

/** The rule with its variables filled in; null when one is missing or could be read as more than a name. */
export function bindRule(rule: RoleRule, subject: RoleSubject): BoundRule | null {
  let whole = true;
  const pattern = rule.pattern.replace(variable, (_all, name: string) => {
    const value = variableOf(name, subject);
    if (value === undefined || !isName(value)) whole = false;
    return value ?? '';
  });
  if (!whole) return null;
  return {
    levels: pattern.split('/'),
    maxQos: rule.maxQos ?? 2,
    retain: rule.retain ?? false,
    methods: rule.methods ?? null,
  };
}

/** Variables of a pattern that this subject has no usable value for: why `bindRule` gives null. */
export function missingVariables({ pattern }: RoleRule, subject: RoleSubject): string[] {
  const names = [...pattern.matchAll(variable)].map(([, name = '']) => name);
  return names.filter((name) => {
    const value = variableOf(name, subject);
    return value === undefined || !isName(value);
  });
}

/** `topic`: levels of a topic without wildcards. */
export const grantsPublish = (
  rule: BoundRule,
  topic: readonly string[],
  qos: number,
  retain: boolean,
): boolean => qos <= rule.maxQos && (!retain || rule.retain) && filterMatches(rule.levels, topic);

/** `asked`: levels of a filter, without its share. */
export const grantsFilter = (rule: BoundRule, asked: readonly string[]): boolean =>
  filterCovers(rule.levels, asked);

/** A rule that names methods grants those and no other. */
export const grantsRequest = (
  rule: BoundRule,
  path: readonly string[],
  method: string | undefined,
): boolean =>
  (rule.methods === null || rule.methods.some((each) => each === method)) && filterMatches(rule.levels, path);

/** The levels to judge: `$share/<group>/<filter>` as `<filter>`; any other `$`, or a broken share, as nothing. */
export function sharedFilter(filter: string): readonly string[] | null {
  const levels = filter.split('/');
  if (levels[0] !== '$share') return filter.startsWith('$') ? null : levels;
  const group = levels[1];
  const broken =
    group === undefined ||
    group === '' ||
    /[+#]/.test(group) ||
    levels.length < 3 ||
    levels[2]?.startsWith('$');
  return broken ? null : levels.slice(2);
}

/** Whether all that one rule grants is granted by another of the same action. */
export const ruleCovers = (wide: BoundRule, narrow: BoundRule): boolean =>
  wide.maxQos >= narrow.maxQos &&
  (wide.retain || !narrow.retain) &&
  (wide.methods === null || (narrow.methods?.every((method) => wide.methods?.includes(method)) ?? false)) &&
  filterCovers(wide.levels, narrow.levels);

/** No character of it means anything in a pattern, and it is there. */
const isName = (value: string): boolean => value !== '' && !/[+#/\0]/.test(value);

function variableOf(name: string, { device, fleet, attributes }: RoleSubject): string | undefined {
  if (name === 'device.id') return device;
  if (name === 'device.fleet') return fleet;
  const attribute = name.startsWith('device.attributes.') ? name.slice('device.attributes.'.length) : '';
  return Object.hasOwn(attributes, attribute) ? attributes[attribute] : undefined;
}
