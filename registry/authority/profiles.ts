/** The profiles of the registry: kept as documents, read into what is used, remembered until one is written. */
import type { Kysely } from 'kysely';
import { Fault } from '#common/fault.ts';
import type { CaSettings } from '../settings.ts';
import type { Tables } from '../store/tables.ts';
import type { Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import { defaultProfile, type Profile, type ProfileDocument, readProfile } from './profile.ts';

export interface ProfilesParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
}

export class Profiles {
  readonly #parts: ProfilesParts;
  readonly #known = new Map<string, Profile>();

  constructor(parts: ProfilesParts) {
    this.#parts = parts;
  }

  /** Puts in the profile `device`, as the settings want it, unless there is one. */
  async seed(settings: CaSettings): Promise<void> {
    const known = await this.list();
    if (known.some(({ name }) => name === 'device')) return;
    await this.put(defaultProfile(settings.leafLifetime, settings.backdate), 'system');
  }

  async list(): Promise<ProfileDocument[]> {
    const rows = await this.#parts.read.selectFrom('profiles').select('document').orderBy('name').execute();
    return rows.map(({ document }) => JSON.parse(document));
  }

  /** Faults `not-found`. */
  async find(name: string): Promise<Profile> {
    const known = this.#known.get(name);
    if (known) return known;
    const row = await this.#parts.read
      .selectFrom('profiles')
      .select('document')
      .where('name', '=', name)
      .executeTakeFirst();
    if (!row) throw new Fault('not-found', `There is no profile ${name}.`);
    const profile = readProfile(JSON.parse(row.document));
    this.#known.set(name, profile);
    return profile;
  }

  /** Makes or replaces one: good for what is issued from now on. Faults `malformed`. */
  async put(document: ProfileDocument, actor: string): Promise<ProfileDocument> {
    readProfile(document);
    const { name } = document;
    await this.#parts.writer.write(async (write) => {
      const before = await write
        .selectFrom('profiles')
        .select('document')
        .where('name', '=', name)
        .executeTakeFirst();
      await write
        .replaceInto('profiles')
        .values({ name, document: JSON.stringify(document) })
        .execute();
      const detail = { before: before ? JSON.parse(before.document) : null, after: document };
      await this.#parts.audit.append(write, { actor, action: 'profile.put', target: name, detail });
    });
    this.#known.delete(name);
    return document;
  }
}
