import { useEffect, useRef, useState } from "preact/hooks";

const SETTLED_MS = 800;

/**
 * Has a screen reader say a text once a question has changed and its answer has settled, and not each time that the
 * answer changes by itself, which may be many times a second.
 */
export function Announce({ question, text }: { question: string; text: string }) {
  const latest = useRef(text);
  latest.current = text;
  const asked = useRef(question);
  const [said, setSaid] = useState("");
  useEffect(() => {
    // What one finds on arriving is read anyway.
    if (asked.current === question) return;
    asked.current = question;
    const timer = setTimeout(() => setSaid(latest.current), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [question]);
  return (
    <p class="unseen" role="status">
      {said}
    </p>
  );
}
