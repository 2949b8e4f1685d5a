/** `fleetgate profiles`: what the certificates of fleets are like. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { Fault } from '#common/fault.ts';
import { type NounFlags, verb, withRegistry } from './noun.ts';
import { facts, table } from './output.ts';

interface Profile {
  name: string;
  validity: string;
  backdate: string;
  keys: string[];
  subject: { attribute: string; value: string }[];
  names: { type: string; value: string }[];
  purposes: string[];
  maxCertificates: number;
  renewal: { from: number; to: number; retireAfter: string };
}

export function profileCommands(program: Command): void {
  const profiles = program.command('profiles').description('profiles: what certificates are like');
  verb(profiles.command('list'), 'profiles list')
    .description('all profiles')
    .action((flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const { items } = await api.call<{ items: Profile[] }>('GET', '/v1/profiles');
        output.answer(items, () =>
          table(
            ['PROFILE', 'VALIDITY', 'KEYS', 'FOR'],
            items.map(({ name, validity, keys, purposes }) => [
              name,
              validity,
              keys.join(' '),
              purposes.join(' '),
            ]),
          ),
        );
      }),
    );
  verb(profiles.command('show <profile>'), 'profiles show device --json > device.json')
    .description('one profile; with --json as `profiles set` takes it')
    .action((name: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const profile = await api.call<Profile>('GET', `/v1/profiles/${encodeURIComponent(name)}`);
        output.answer(profile, () => factsOf(profile));
      }),
    );
  verb(profiles.command('set <profile> <file>'), 'profiles set gauge gauge.json')
    .description('write a profile from a JSON file; it is good for what is issued from now on')
    .action((name: string, file: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const path = `/v1/profiles/${encodeURIComponent(name)}`;
        const profile = await api.call<Profile>('PUT', path, readDocument(file));
        output.answer(profile, () => [
          `Fleets with the profile ${profile.name} are issued such certificates from now on:`,
          ...factsOf(profile),
        ]);
      }),
    );
}

function readDocument(file: string): unknown {
  const text = readFileSync(file, 'utf8');
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Fault('malformed', `${file} is not JSON: ${(cause as Error).message}.`, { cause });
  }
}

const factsOf = ({ name, validity, backdate, keys, subject, names, purposes, ...more }: Profile) =>
  facts([
    ['profile', name],
    ['validity', validity],
    ['backdate', backdate],
    ['keys', keys.join(', ')],
    [
      'subject',
      ['CN=${device.id}', ...subject.map(({ attribute, value }) => `${attribute}=${value}`)].join(', '),
    ],
    ['names', ['the SPIFFE ID', ...names.map(({ type, value }) => `${type}:${value}`)].join(', ')],
    ['purposes', purposes.join(', ')],
    ['certificates', `${more.maxCertificates} a device at most`],
    ['renewal', `from ${more.renewal.from} to ${more.renewal.to} % of the validity`],
    ['retire', `${more.renewal.retireAfter} after the new one was first used`],
  ]);
