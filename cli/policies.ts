/** `fleetgate policies`, or `roles`: what devices may do, tried out before it is so, and who acts in which role. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { RoleDocument, RoleRule } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import { asked, type NounFlags, verb, withRegistry } from './noun.ts';
import { paint, table } from './output.ts';
import { pairOf, type QuestionFlags, questionOf } from './policy-question.ts';

interface Verdict {
  allowed: boolean;
  role: string;
  from: string;
  qos: number | null;
  why: string;
}

interface Preview {
  role: string;
  devices: number;
  changed: number;
  first: { device: string; lost: RoleRule[]; gained: RoleRule[] }[];
}

interface Assignment {
  id: string;
  fleet: string | null;
  match: Record<string, string | string[]>;
  role: string;
  createdAt: string;
}

const several = (value: string, before: string[] = []): string[] => [...before, value];

/** What the file says of the role. Faults `malformed`. */
function documentIn(file: string): Omit<RoleDocument, 'name'> {
  const document = JSON.parse(readFileSync(file, 'utf8')) as RoleDocument;
  const { rules, severalSessions = false, lastWord, limits } = document;
  if (!Array.isArray(rules)) throw new Fault('malformed', `${file} has no list of rules.`);
  return { rules, severalSessions, ...(lastWord !== undefined && { lastWord }), ...(limits && { limits }) };
}

const ruleText = ({ allow, pattern, maxQos, retain, methods }: RoleRule): string =>
  [
    allow,
    pattern,
    maxQos === undefined ? '' : `QoS ${maxQos}`,
    retain ? 'retain' : '',
    methods?.join(',') ?? '',
  ]
    .filter((word) => word !== '')
    .join(' ');

export function policyCommands(program: Command): void {
  const policies = program.command('policies').alias('roles').description('roles: what devices may do');
  verb(policies.command('list'), 'policies list')
    .description('all roles')
    .action((flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const { items } = await api.call<{ items: RoleDocument[] }>('GET', '/v1/roles');
        output.answer(items, () =>
          table(
            ['ROLE', 'RULES'],
            items.map(({ name, rules }) => [name, rules.length]),
          ),
        );
      }),
    );
  verb(policies.command('show <role>'), 'policies show device')
    .description('one role with its rules')
    .action((name: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const role = await api.call<RoleDocument>('GET', `/v1/roles/${encodeURIComponent(name)}`);
        const rows = role.rules.map(({ allow, pattern, maxQos = 2, retain = false, methods }) => [
          allow,
          pattern,
          maxQos,
          methods?.join(',') ?? (retain ? 'retain' : ''),
        ]);
        output.answer(role, () => table(['MAY', 'PATTERN', 'QOS', ''], rows));
      }),
    );
  verb(policies.command('set <role> <file>'), 'policies set gauge gauge-role.json')
    .description('write a role from a JSON file; sessions go on by the new rules at once')
    .action((name: string, file: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const body = documentIn(file);
        const role = await api.call<RoleDocument>('PUT', `/v1/roles/${encodeURIComponent(name)}`, body);
        output.answer(role, () => [
          `The role ${role.name} has ${role.rules.length} rules; live sessions are judged by them now.`,
        ]);
      }),
    );
  verb(policies.command('preview <role> <file>'), 'policies preview device device-role.json')
    .description('who would lose or gain what if the role were this file; nothing is changed')
    .action((name: string, file: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const path = `/v1/roles/${encodeURIComponent(name)}:preview`;
        const { role, devices, changed, first, ...rest } = await api.call<Preview>(
          'POST',
          path,
          documentIn(file),
        );
        output.answer({ role, devices, changed, ...rest, first }, () => [
          `Of ${devices} device(s) in the role ${role} something changes for ${changed}.`,
          ...first.flatMap(({ device, lost, gained }) => [
            `  ${device}`,
            ...lost.map((rule) => paint('red', `    - ${ruleText(rule)}`)),
            ...gained.map((rule) => paint('green', `    + ${ruleText(rule)}`)),
          ]),
          ...(first.length < changed ? [`  and ${changed - first.length} more`] : []),
        ]);
      }),
    );
  const ask = verb(
    policies.command('test'),
    'policies test --device pump-1 --publish devices/pump-1/telemetry --qos 1',
  )
    .description('whether a device may do something, and by which rule; exit code 1 when it may not')
    .option('--device <device>', 'a device that is there')
    .option('--fleet <fleet>', 'or one that could be: its fleet')
    .option('--id <id>', 'its id')
    .option('--attribute <name=value>', 'one of its attributes (repeatable)', several)
    .option('--role <role>', 'in this role instead of its own')
    .option('--publish <topic>')
    .option('--subscribe <filter>')
    .option('--http <path>')
    .option('--method <method>', 'of --http (default GET)')
    .option('--qos <n>')
    .option('--retain');
  ask.action((flags: QuestionFlags) => {
    const question = asked(() => questionOf(flags));
    return withRegistry(flags, async (api, output) => {
      const verdict = await api.call<Verdict>('POST', '/v1/policies:test', question);
      const { allowed, role, from, qos, why } = verdict;
      output.answer(verdict, () => [
        allowed ? paint('green', 'allowed') : paint('red', 'refused'),
        `${why}${qos === null ? '' : ` QoS ${qos}.`}`,
        `It acts in the role ${role} ${from === 'request' ? 'as you asked' : `of its ${from}`}.`,
      ]);
      if (!allowed) process.exitCode = 1;
    });
  });
  assignmentCommands(policies);
}

function assignmentCommands(policies: Command): void {
  verb(policies.command('assign <role>'), 'policies assign gauge --attribute kind=gauge --fleet plant')
    .description('give a role to all devices with these attributes that have none of their own')
    .requiredOption('--attribute <name=value>', 'one of several values: repeat the name', several)
    .option('--fleet <fleet>', 'of this fleet only')
    .action((role: string, flags: NounFlags & { attribute: string[]; fleet?: string }) => {
      const match = asked(() => matchOf(flags.attribute));
      return withRegistry(flags, async (api, output) => {
        const order = { role, match, fleet: flags.fleet };
        const made = await api.call<Assignment & { devices: number }>('POST', '/v1/role-assignments', order);
        output.answer(made, () => [
          `${made.id}: ${made.devices} device(s) act in the role ${role} by it now.`,
        ]);
      });
    });
  verb(policies.command('assignments'), 'policies assignments')
    .description('which attributes give which role')
    .action((flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const { items } = await api.call<{ items: Assignment[] }>('GET', '/v1/role-assignments');
        const text = (match: Assignment['match']) =>
          Object.entries(match)
            .map(([name, value]) => `${name}=${[value].flat().join('|')}`)
            .join(' ');
        output.answer(items, () =>
          table(
            ['ASSIGNMENT', 'FLEET', 'ATTRIBUTES', 'ROLE', 'SINCE'],
            items.map(({ id, fleet, match, role, createdAt }) => [
              id,
              fleet ?? 'every',
              text(match),
              role,
              createdAt,
            ]),
          ),
        );
      }),
    );
  verb(policies.command('unassign <assignment>'), 'policies unassign 3kfa8Yb')
    .description('take an assignment back, by its id')
    .action((id: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const path = `/v1/role-assignments/${encodeURIComponent(id)}`;
        const { devices } = await api.call<{ devices: number }>('DELETE', path);
        output.answer({ removed: id, devices }, () => [`${devices} device(s) act in another role now.`]);
      }),
    );
}

/** A name that comes several times takes any of its values. Faults `malformed`. */
function matchOf(attributes: readonly string[]): Record<string, string | string[]> {
  const match: Record<string, string | string[]> = {};
  for (const [name, values] of Map.groupBy(attributes.map(pairOf), ([name]) => name)) {
    const wanted = values.map(([, value]) => value);
    match[name] = wanted.length === 1 ? wanted[0]! : wanted;
  }
  return match;
}
