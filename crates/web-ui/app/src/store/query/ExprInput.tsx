// The place of the editor: a plain text area until CodeMirror is there, and where it cannot be.
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { dark } from '../../core/settings';
import type { Editor } from './editor';

interface Props {
  /** What stands there now; only shown while there is no editor. */
  text: string;
  /**
   * Text from outside (a link, the history) with a number that grows. The editor takes it when the number
   * changes, and not when `text` does: that one comes from the editor and lags behind its typist.
   */
  given: { text: string; version: number };
  onChange: (text: string) => void;
  onRun: () => void;
}

export function ExprInput(props: Props): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const editor = useRef<Editor | null>(null);
  const [ready, setReady] = useState(false);
  // The editor lives longer than one rendering: it calls what is current then.
  const latest = useRef(props);
  latest.current = props;

  useEffect(() => {
    let gone = false;
    import('./editor').then(
      ({ createEditor }) => {
        if (gone || !place.current) return;
        const had = place.current.querySelector('textarea') === document.activeElement;
        editor.current = createEditor({
          parent: place.current,
          text: latest.current.text,
          dark: dark.value,
          onChange: (text) => latest.current.onChange(text),
          onRun: () => latest.current.onRun(),
        });
        setReady(true);
        if (had) editor.current.focus();
      },
      (error: unknown) => console.error('the editor could not be loaded', error),
    );
    return () => {
      gone = true;
      editor.current?.destroy();
      editor.current = null;
    };
  }, []);
  useEffect(() => editor.current?.setText(props.given.text), [props.given.version]);
  useEffect(() => editor.current?.setDark(dark.value), [dark.value]);

  return (
    <div class="editor" ref={place}>
      {!ready && (
        <textarea
          class="mono"
          aria-label="Expression"
          rows={1}
          style={{ width: '100%', border: 0, background: 'transparent' }}
          value={props.text}
          onInput={(event) => props.onChange(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === 'Enter' && !event.shiftKey) {
              event.preventDefault();
              props.onRun();
            }
          }}
        />
      )}
    </div>
  );
}
