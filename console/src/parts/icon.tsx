const paths = {
  overview: "M4 13h4l2.5-7 3.5 13 2.5-6H20",
  locks: "M7 11V8a5 5 0 0 1 10 0v3M6 11h12v9H6z",
  sessions: "M4 6h16v10H4zM9 20h6M12 16v4",
  graph: "M5 4.5h5v5H5zM14 14.5h5v5h-5zM14 4.5h5v5h-5zM10 7h4M16.5 9.5v5",
  servers: "M5 5h14v5H5zM5 14h14v5H5zM8 7.5h.01M8 16.5h.01",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M18.4 5.6 17 7M7 17l-1.4 1.4",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z",
  help: "M9.3 9.3a2.8 2.8 0 1 1 4.2 2.4c-1 .6-1.5 1.2-1.5 2.3M12 17.2h.01M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  search: "M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM20 20l-4.7-4.7",
  copy: "M9 9h10v10H9zM5 15V5h10",
  check: "M5 12.5 10 17.5 19.5 7",
  warning: "M12 4 2.8 19.5h18.4zM12 10v4.5M12 17h.01",
  back: "M14.5 6 8.5 12l6 6",
  close: "M6 6l12 12M18 6 6 18",
} as const;

export type IconName = keyof typeof paths;

/** A drawing beside words that say the same: nothing is read out for it. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path
        d={paths[name]}
        fill="none"
        stroke="currentColor"
        stroke-width="1.8"
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}

/** The mark: what holds a kelp to its rock. */
export function Mark({ size = 26 }: { size?: number }) {
  return (
    <svg class="mark" width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <g fill="none" stroke="currentColor" stroke-width="2.6" stroke-linecap="round">
        <path d="M16 15V6.5" />
        <path d="M16 15c0 6-2.2 9.5-8.5 10.5" />
        <path d="M16 15c0 6 2.2 9.5 8.5 10.5" />
        <path d="M16 15v11" />
        <path d="M11.5 6.5a4.5 4.5 0 0 1 9 0" />
      </g>
    </svg>
  );
}
