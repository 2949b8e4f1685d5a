/** General names (RFC 5280, section 4.2.1.6), typed. Whether a host or a mailbox is well spelt is judged elsewhere. */
import { constructed, type Der, Fields, malformed, oidOf, primitive, tags } from './der.ts';
import { type Name, readName } from './name.ts';

export type GeneralName =
  | { readonly type: 'dns'; readonly value: string }
  | { readonly type: 'uri'; readonly value: string }
  | { readonly type: 'email'; readonly value: string }
  /** 4 or 16 octets; in a name constraint 8 or 32, address and mask. */
  | { readonly type: 'ip'; readonly value: Buffer }
  | { readonly type: 'directoryName'; readonly value: Name }
  /** `value` is the DER of what the type defines. */
  | { readonly type: 'otherName'; readonly typeId: string; readonly value: Buffer }
  | { readonly type: 'registeredId'; readonly value: string }
  /** x400Address and ediPartyName, which nobody uses. */
  | { readonly type: 'obsolete'; readonly value: Buffer };

export type GeneralNameType = GeneralName['type'];

/** Where the name stands: what an address looks like depends on it (section 4.2.1.10). */
export type GeneralNamePlace = 'name' | 'constraint';

/** One or more. Faults `certificate-malformed` (`general-name`). */
export function readGeneralNames(element: Der, tag: number = tags.sequence): readonly GeneralName[] {
  if (element.tag !== tag || element.items.length === 0) {
    throw malformed('general-name', 'a list of names is empty or none');
  }
  return Object.freeze(element.items.map((item) => readGeneralName(item)));
}

export function readGeneralName(element: Der, place: GeneralNamePlace = 'name'): GeneralName {
  return Object.freeze(readTyped(element, place));
}

function readTyped(element: Der, place: GeneralNamePlace): GeneralName {
  switch (element.tag) {
    case constructed(0): {
      const [typeId, value, ...more] = element.items;
      if (
        typeId?.tag !== tags.oid ||
        value?.tag !== constructed(0) ||
        value.items.length !== 1 ||
        more.length > 0
      ) {
        throw malformed('general-name', 'an otherName is odd');
      }
      return { type: 'otherName', typeId: oidOf(typeId), value: value.items[0]!.der };
    }
    case primitive(1):
      return { type: 'email', value: ia5(element.body, place) };
    case primitive(2):
      return { type: 'dns', value: ia5(element.body, place) };
    case constructed(3):
    case constructed(5):
      return { type: 'obsolete', value: element.der };
    case constructed(4): {
      // A CHOICE below a tag is tagged explicitly (X.680, section 31.2.7).
      const fields = new Fields(element, 'a directoryName', element.tag);
      const name = readName(fields.any('name'));
      fields.end();
      return { type: 'directoryName', value: name };
    }
    case primitive(6):
      return { type: 'uri', value: ia5(element.body, place) };
    case primitive(7): {
      const lengths = place === 'name' ? [4, 16] : [8, 32];
      if (!lengths.includes(element.body.length))
        throw malformed('general-name', 'an iPAddress has an odd length');
      return { type: 'ip', value: element.body };
    }
    case primitive(8):
      return { type: 'registeredId', value: oidOf(element) };
    default:
      throw malformed('general-name', 'a name is of no known type');
  }
}

/** ASCII without control characters: a NUL or a newline in a name is meant to deceive. Empty ones constrain everything. */
function ia5(body: Buffer, place: GeneralNamePlace): string {
  const text = body.toString('latin1');
  if (!/^[\u0020-\u007e]*$/.test(text) || (text === '' && place === 'name')) {
    throw malformed('general-name', 'a name is empty or holds characters that it may not');
  }
  return text;
}
