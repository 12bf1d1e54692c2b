fn main() -> std::process::ExitCode {
    moodshader::cli::main()
}
